"""A page about a quantized network, in pictures: what is known, what is bad, how to mend it.

make                                      all of it: gather, diagnose, render
facts, gather, layers, products, seen,    the facts, as plain data
injected, timing
findings, diagnosis, remedies             cause and remedy for bad layers
page, sections, layer_list, html          one HTML page that needs no network
charts, rows, drawn                       its charts

Diagnosis reads nothing but facts, and rendering nothing but facts and findings.
"""
