"""Optional integrations of third-party tools; nothing else imports them except service/app.py."""
