"""Ways to boot: which were tried for a deployment, and which worked on a kind of machine"""

import sqlalchemy as sa

from alembic import op
from deployer.store.tables import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("boot_tries", "local_tries"):
        op.add_column("deployments", sa.Column(name, sa.JSON(), nullable=True))
    op.add_column("deployments", sa.Column("verification", sa.String(), nullable=True))
    op.add_column("deployments", sa.Column("boot_awaited_until", UtcDateTime(), nullable=True))
    op.create_index(
        "ix_deployments_boot_awaited_until", "deployments", ["boot_awaited_until"],
        sqlite_where=sa.text("boot_awaited_until IS NOT NULL"),
        postgresql_where=sa.text("boot_awaited_until IS NOT NULL"),
    )  # fmt: skip
    op.add_column("effects", sa.Column("state", sa.String(), nullable=True))
    op.add_column("effects", sa.Column("step", sa.Integer(), nullable=True))
    op.add_column("effects", sa.Column("rack", sa.String(), nullable=True))
    op.add_column("effects", sa.Column("bmc", sa.String(), nullable=True))
    op.add_column("effects", sa.Column("not_before", UtcDateTime(), nullable=True))
    op.create_index("ix_effects_dispatched_at", "effects", ["dispatched_at"])
    op.create_table(
        "host_facts",
        sa.Column("host_id", sa.String(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("host_id"),
    )
    op.create_table(
        "experience",
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("way", sa.String(), nullable=False),
        sa.Column("worked", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("purpose", "product", "way"),
    )


def downgrade() -> None:
    op.drop_table("experience")
    op.drop_table("host_facts")
    op.drop_index("ix_effects_dispatched_at", "effects")
    for name in ("not_before", "bmc", "rack", "step", "state"):
        op.drop_column("effects", name)
    op.drop_index("ix_deployments_boot_awaited_until", "deployments")
    op.drop_column("deployments", "boot_awaited_until")
    op.drop_column("deployments", "verification")
    op.drop_column("deployments", "local_tries")
    op.drop_column("deployments", "boot_tries")
