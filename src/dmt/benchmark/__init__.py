"""An honest benchmark: records of edits -> what each method keeps at an equal flip rate, and how sure that is."""
