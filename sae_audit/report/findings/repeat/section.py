"""How to make the same audit again, and what its folder holds."""

from sae_audit.report.section import Section

SECTION = Section(id="repeat", title="Repeat it")
