"""The AWS API of the sandbox: moto's server, with RDS and ElastiCache that run real databases."""
