"""What a dashboard must keep to, as rules that each name what breaks them. Pure."""
