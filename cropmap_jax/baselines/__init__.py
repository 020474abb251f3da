"""Methods that are no networks: forest, boosting, logistic regression, and dates alone."""
