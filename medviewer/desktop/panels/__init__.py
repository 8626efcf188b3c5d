"""The right column: one card a subject, in the order of work. Cards show data; they decide nothing."""
