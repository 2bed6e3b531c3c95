"""What a search leaves for people to read: the front as tables and figures."""
