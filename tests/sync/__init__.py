"""The sync guarantee: clients that write histories, and a checker that judges them."""
