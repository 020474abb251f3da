"""The report that one puts on a table: from scores, predictions and settings to one HTML file."""
