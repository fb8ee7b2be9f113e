//! How a failure becomes an exit code.

use plasmid_node::client::ClientError;
use plasmid_node::data_folder::DataFolderError;
use plasmid_node::settings::ExitCode;
use plasmid_root_chain::follower::FollowError;
use plasmid_root_chain::node::ReadError;
use plasmid_root_chain::rpc::RpcError;
use plasmid_root_chain::sender::SendError;

/// A failure that the command itself decides on. Its text says what happened, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command was called wrongly.
    #[error("{0}")]
    Usage(String),
    /// Going on could cost money.
    #[error("{0}")]
    Refused(String),
    /// A server cannot be used now.
    #[error("{0}")]
    Unreachable(String),
    /// The root chain did not do it in time.
    #[error("{0}")]
    TimedOut(String),
}

/// Returns the exit code that the first telling cause of `error` asks for.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    error.chain().find_map(code_of).unwrap_or(ExitCode::Failure)
}

fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<ExitCode> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(match failure {
            Failure::Usage(_) => ExitCode::Usage,
            Failure::Refused(_) => ExitCode::Refused,
            Failure::Unreachable(_) => ExitCode::Unreachable,
            Failure::TimedOut(_) => ExitCode::TimedOut,
        });
    }
    if let Some(error) = cause.downcast_ref::<SendError>() {
        return match error {
            SendError::GivenUp { .. } => Some(ExitCode::TimedOut),
            SendError::Read(_) => None,
            SendError::Refused(_)
            | SendError::Failed { .. }
            | SendError::NonceTaken { .. }
            | SendError::Underpriced { .. } => Some(ExitCode::Failure),
        };
    }
    if let Some(error) = cause.downcast_ref::<FollowError>() {
        return match error {
            FollowError::Read(_) => None,
            FollowError::OtherChain { .. } | FollowError::NoDeployment { .. } => Some(ExitCode::Refused),
            FollowError::TooDeep { .. }
            | FollowError::MissingBlock { .. }
            | FollowError::TimeReversed { .. }
            | FollowError::ForeignLogs { .. }
            | FollowError::Event { .. } => Some(ExitCode::Unreachable),
        };
    }
    if let Some(error) = cause.downcast_ref::<RpcError>() {
        return match error {
            RpcError::Url { .. } => Some(ExitCode::Usage),
            RpcError::Client { .. } | RpcError::Refused(_) => Some(ExitCode::Failure),
            RpcError::Unreachable { .. }
            | RpcError::TimedOut { .. }
            | RpcError::Status { .. }
            | RpcError::TooLarge { .. }
            | RpcError::Malformed { .. } => Some(ExitCode::Unreachable),
        };
    }
    if let Some(ReadError::NoContract { .. }) = cause.downcast_ref::<ReadError>() {
        return Some(ExitCode::Refused);
    }
    if let Some(error) = cause.downcast_ref::<ClientError>() {
        return Some(match error {
            ClientError::Url { .. } => ExitCode::Usage,
            ClientError::Problem { problem, .. } if problem.code.retry_after_secs().is_none() => ExitCode::Failure,
            ClientError::Problem { .. }
            | ClientError::Unreachable { .. }
            | ClientError::TimedOut { .. }
            | ClientError::TooLarge { .. }
            | ClientError::Malformed { .. } => ExitCode::Unreachable,
        });
    }
    match cause.downcast_ref::<DataFolderError>() {
        Some(DataFolderError::OtherDeployment { .. }) => Some(ExitCode::Refused),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_code_is_found_below_what_was_added_to_it() {
        let refused = Err::<(), _>(Failure::Refused("no".to_owned())).context("send").context("pay bob");
        assert_eq!(exit_code(&refused.unwrap_err()), ExitCode::Refused);
        let url = ReadError::from(RpcError::Url { reason: "no".to_owned() });
        assert_eq!(exit_code(&anyhow::Error::from(url).context("read")), ExitCode::Usage);
        assert_eq!(exit_code(&anyhow::anyhow!("anything else")), ExitCode::Failure);
    }
}
