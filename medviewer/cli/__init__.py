"""The command line: one thin module a verb. No logic lives here."""
