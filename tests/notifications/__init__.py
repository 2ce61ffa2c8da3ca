"""Messages to others: the outbox, webhooks, e-mail and Slack, with receivers that are real servers."""
