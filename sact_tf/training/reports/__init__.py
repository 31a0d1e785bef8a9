"""What reports and tables of all runs share."""
