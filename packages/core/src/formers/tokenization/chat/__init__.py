"""Chat templates: from a list of messages to the text that a chat model was trained on.

``methods`` has what a tokenizer offers, ``templates`` and ``saved`` hold the templates in memory and in files. The
rest is what rendering needs: ``inputs`` and ``tools`` prepare what a template sees; ``sandbox``, ``metering``,
``policy`` and ``budget`` render it without trusting it (docs/adr/0009); ``spans``, ``continuing`` and ``sanitizing``
say which part of the text is whose. jinja2, the extra ``chat``, is imported when a template is first rendered.
"""
