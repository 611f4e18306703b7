"""From action chunks to safe tool motion: player, tracker, governor, and the servo that joins them to an arm."""
