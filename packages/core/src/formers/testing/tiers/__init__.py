"""The checks, a module for each part of a tier; their ids are stable."""
