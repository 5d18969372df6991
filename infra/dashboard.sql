-- The dashboard beside Snowflake: what `snow streamlit deploy --project src` needs. Run it after
-- infra/snowflake.sql, as somebody who has ACCOUNTADMIN; run it again at any time:
--
--     snow sql -f infra/dashboard.sql
--
-- An app runs with the rights of its owner, whoever looks at it, and CURRENT_ROLE and
-- IS_ROLE_IN_SESSION answer for the owner (docs.snowflake.com/en/developer-guide/streamlit/owners-rights,
-- .../streamlit/features/row-access). So the owner is a role of its own that reads what RETAIL_READER
-- reads: the masking policy shows it digests.
USE ROLE USERADMIN;
CREATE ROLE IF NOT EXISTS RETAIL_DASHBOARD COMMENT = 'owns the dashboard; reads as RETAIL_READER';
USE ROLE SECURITYADMIN;
GRANT ROLE RETAIL_READER TO ROLE RETAIL_DASHBOARD;
GRANT ROLE RETAIL_DASHBOARD TO ROLE SYSADMIN;
USE ROLE SYSADMIN;
CREATE SCHEMA IF NOT EXISTS RETAIL.APPS WITH MANAGED ACCESS;
GRANT USAGE, CREATE STREAMLIT ON SCHEMA RETAIL.APPS TO ROLE RETAIL_DASHBOARD;
GRANT USAGE ON SCHEMA RETAIL.APPS TO ROLE RETAIL_READER;

-- The container runtime: the app runs in a node of this pool, which a look at the page wakes and which
-- costs until it suspends itself (docs.snowflake.com/en/sql-reference/sql/create-compute-pool). It takes
-- its packages from PyPI (.../developer-guide/streamlit/app-development/dependency-management), by
-- Snowflake's own rule (.../developer-guide/external-network-access/external-network-access-examples).
USE ROLE ACCOUNTADMIN;
CREATE COMPUTE POOL IF NOT EXISTS RETAIL_APPS
    MIN_NODES = 1 MAX_NODES = 1 INSTANCE_FAMILY = CPU_X64_XS AUTO_SUSPEND_SECS = 600;
GRANT USAGE ON COMPUTE POOL RETAIL_APPS TO ROLE RETAIL_DASHBOARD;
CREATE EXTERNAL ACCESS INTEGRATION IF NOT EXISTS RETAIL_PYPI
    ALLOWED_NETWORK_RULES = (SNOWFLAKE.EXTERNAL_ACCESS.PYPI_RULE) ENABLED = TRUE;
GRANT USAGE ON INTEGRATION RETAIL_PYPI TO ROLE RETAIL_DASHBOARD;
