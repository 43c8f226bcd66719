"""Rows of data sets as problems, one format a file; `detection` tells which format a row has."""
