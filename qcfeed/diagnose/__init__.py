"""What is wrong, and what to do: pure rules over what was seen, the cause before its symptoms."""
