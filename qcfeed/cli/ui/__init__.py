"""The drawing kit of the commands: tables, figures, durations, sizes and times. It knows no command."""
