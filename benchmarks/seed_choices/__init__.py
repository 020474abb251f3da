"""What each choice of the original system is worth, one changed at a time from ours."""
