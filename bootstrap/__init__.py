"""What a pipeline stands on, once for each AWS account: the state's bucket and keys, and the roles by OIDC."""
