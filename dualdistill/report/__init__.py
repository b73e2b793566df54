"""Tables, claims, figures and the page, made from the records of the runs."""
