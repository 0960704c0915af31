"""The parts of a report: one page of HTML that holds everything it shows, and opens offline."""
