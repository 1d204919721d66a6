"""Pictures of people: who is on them is what is to be told, of people who were never trained on."""
