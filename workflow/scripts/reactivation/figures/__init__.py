"""From metric tables to figures.

select  the rows that a figure shows, put together over seeds
words   what axes and legends say
panels  one panel
layout  panels, legend, title on a page
forest  the claims: effects, intervals and thresholds
origin  the provenance in a figure's files
"""
