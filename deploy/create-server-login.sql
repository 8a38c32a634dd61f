-- The login that servers connect with: it can become guerdon_app and nothing else.
--
-- Run once by psql as a role that may create roles, before or after the migrations:
--   GUERDON_SERVER_PASSWORD=... psql --file create-server-login.sql guerdon
-- The container image of Postgres runs it when it makes its data folder.

\getenv password GUERDON_SERVER_PASSWORD
\set ON_ERROR_STOP on

do $$
begin
  -- The migrations make this role too, whoever comes first.
  if not exists (select from pg_roles where rolname = 'guerdon_app') then
    create role guerdon_app nologin nosuperuser nocreatedb nocreaterole nobypassrls;
  end if;
end
$$;

create role guerdon_server login password :'password' in role guerdon_app;
