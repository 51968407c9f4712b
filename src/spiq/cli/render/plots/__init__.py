"""Results as pictures, for people: drawn with Vega-Lite by way of Altair, as PNG or SVG."""
