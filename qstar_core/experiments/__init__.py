"""Studies: a spec in, cells run once each, tables and figures out."""
