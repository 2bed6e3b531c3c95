"""Reports: tables, figures, the HTML page, model cards."""
