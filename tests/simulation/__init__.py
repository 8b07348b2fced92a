"""Whole rollouts in virtual time, in a world that loses, delays, crashes and forgets. One seed is one world."""
