"""What the server keeps of its promises when what it stands on fails."""
