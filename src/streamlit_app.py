"""The dashboard as an app in Snowflake; `snow streamlit deploy` deploys it from this folder."""

import streamlit as st

from medallion.outputs.dashboard.app import main
from medallion.outputs.dashboard.boards import Boards
from medallion.outputs.dashboard.sources import SnowflakeRelations


def boards() -> Boards:
    """Return the boards of the relations as the role that owns the app sees them.

    There st.connection("snowflake") is the owner's session, in both runtimes
    (docs.streamlit.io/develop/api-reference/connections/st.connections.snowflakeconnection).
    """
    return Boards(SnowflakeRelations(st.connection("snowflake").raw_connection))


main(boards)
