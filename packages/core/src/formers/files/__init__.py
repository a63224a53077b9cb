"""Names, folders and bytes on disk. No torch here.

``folder`` and ``commit`` read and save local folders consistently, ``strict_json`` reads and writes JSON,
``resolve`` turns a model's name into local files, ``push`` uploads. Only the last two, through ``hub``, import
huggingface_hub, and only when a name is not a local path.
"""
