"""The dashboard as an app in Snowflake, which `snow streamlit deploy` takes from this folder."""

import streamlit as st

from medallion.outputs.dashboard.app import main
from medallion.outputs.dashboard.sources import SnowflakeRelations, Source


def relations() -> Source:
    """Return the relations as the role that owns the app sees them.

    There st.connection("snowflake") is the owner's session, in both runtimes
    (docs.streamlit.io/develop/api-reference/connections/st.connections.snowflakeconnection).
    """
    return SnowflakeRelations(st.connection("snowflake").raw_connection)


main(relations)
