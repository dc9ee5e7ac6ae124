"""Runs migrations on the connection that `store.migrations` hands over."""

from sqlmodel import SQLModel

import deployer.store.tables  # noqa: F401  (fills the metadata)
from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transaction_per_migration=True,
    # SQLite alters a table by copying it; batch mode writes that for both databases.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
