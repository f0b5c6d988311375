"""What jobs share, whatever they compute. Nothing here imports torch.

job          fast start-up, the log, one line for each error
workplace    the folder of a job, from which it goes on after it was killed
state        the state of a long computation, and a thread that writes
schedule     at which steps a training keeps weights
memory       memory that a job takes besides its own work
progress     lines in the log on how far a job has got
watch        what a person sees while a study runs
fingerprint  digests of a job's code, which decide whether it runs again
code_digest  the digest of one module's code
executed     the code that a job has imported, compared with its fingerprint
bound        what a job checks before it works, and records when it is done
provenance   where a result comes from
known_images digests of images, remembered until their files change
"""
