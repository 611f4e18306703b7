"""How fast a policy of the family can be: the same random weights run as its authors run them, and as they are run here."""
