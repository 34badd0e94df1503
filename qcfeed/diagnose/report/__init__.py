"""The incident report: sections made of blocks, rendered as Markdown or HTML."""
