"""What all configs share: loading YAML files, types of fields, checks."""
