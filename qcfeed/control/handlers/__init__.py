"""The control plane's request handlers, one module per subject."""
