"""The plain network that spends as many FLOPs as an adaptive one."""
