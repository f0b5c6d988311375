"""The pages of the report. Their templates are in workflow/report/.

explore   every curve of every run, to choose among
pages     tables and the config
columns   what the columns of tables mean
captions  free text as reStructuredText
"""
