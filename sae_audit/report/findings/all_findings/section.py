"""Every question with its answer and control, collected from all sections: one table to search."""

from sae_audit.report.section import Section

SECTION = Section(id="all_findings", title="All findings")
