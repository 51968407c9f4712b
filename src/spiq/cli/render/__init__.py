"""Results as tables for people, and as CSV and JSON for machines; all are siblings over values.

tables, cells        tables for people
plots                pictures
csv, json, schema    for machines, and the schemas of what is JSON
"""
