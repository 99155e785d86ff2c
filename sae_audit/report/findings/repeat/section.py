"""Instructions to repeat the audit, and the contents of its folder."""

from sae_audit.report.section import Section

SECTION = Section(id="repeat", title="Repeat it")
