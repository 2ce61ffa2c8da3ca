"""What people see: consoles in a real browser, on our server."""
