"""What several rooms of the tests share: real PostgreSQL and real server processes."""
