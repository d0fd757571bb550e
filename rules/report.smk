"""Rules of this stage are added with the stage."""
