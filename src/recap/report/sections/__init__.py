"""The sections of the page, one module each: what the stages wrote -> what its template shows."""
