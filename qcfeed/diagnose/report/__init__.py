"""The incident report: pure functions from evidence to blocks, and from blocks to Markdown or HTML."""
